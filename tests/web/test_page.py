"""
Tests for L{distributor.web.page}.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from html.parser import HTMLParser

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.web.page import CONTENT_SECURITY_POLICY, PageEntry, page, readable_size

FILM = PageEntry("1", "A film", "video/mp4", 5000, "It moves.", captions="5", poster="3")
ENTRIES = (
    FILM,
    PageEntry("2", "A picture", "image/jpeg", 4000),
    PageEntry("4", "A song", "audio/mpeg", 3000),
    PageEntry("5", "Words", "text/vtt", 200),
    PageEntry("6", "A sheet", "application/pdf", 2000),
    PageEntry("7", "Nothing", "video/mp4", 0),
)
ORIGIN = "http://127.0.0.1:3334"

# Elements that HTML gives no content, and so no end tag.
_VOID = {"meta", "link", "img", "source", "track"}


@define
class Parsed(HTMLParser):
    """
    The elements of a page, and its text; checks that each element is closed where it must be.
    """

    elements: list[tuple[str, dict[str, str | None]]] = field(factory=list)
    open_tags: list[str] = field(factory=list)
    text: dict[str, list[str]] = field(factory=dict)

    @classmethod
    def of(cls, document: str) -> Parsed:
        parsed = cls()
        HTMLParser.__init__(parsed)
        parsed.feed(document)
        parsed.close()
        assert not parsed.open_tags, parsed.open_tags
        return parsed

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.setdefault(self.open_tags[-1] if self.open_tags else "", []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def addresses(self) -> list[str]:
        """
        Whatever the page links to or loads.
        """
        found = [attributes.get(key) for _, attributes in self.elements for key in ("href", "src", "poster")]
        return [address for address in found if address is not None]


class PageTests(SynchronousTestCase):
    """
    What a visitor sees at C{GET /}.
    """

    def test_film_comes_first_with_controls_captions_and_poster(self) -> None:
        """
        The first player is the video's, with captions and a poster from the node itself.
        """
        parsed = Parsed.of(page("Library", "node", ENTRIES, ORIGIN))
        players = [name for name, _ in parsed.elements if name in ("video", "audio", "img")]
        self.assertEqual(players, ["video", "img", "audio"])
        [video] = parsed.all("video")
        self.assertIn("controls", video)
        self.assertEqual(video["poster"], "/api/v1/asset/3")
        [source] = parsed.all("source")
        self.assertEqual((source["src"], source["type"]), ("/api/v1/asset/1", "video/mp4"))
        [track] = parsed.all("track")
        self.assertEqual((track["src"], track["kind"]), ("/api/v1/asset/5", "captions"))

    def test_every_entry_has_its_link_type_and_size(self) -> None:
        """
        Each object can be opened and saved, and says what it is.
        """
        parsed = Parsed.of(page("Library", "node", ENTRIES, ORIGIN))
        facts = "".join(parsed.text["li"]) + "".join(parsed.text["span"])
        for entry in ENTRIES:
            self.assertIn(f"/api/v1/asset/{entry.id}", parsed.addresses())
            self.assertIn(f"/api/v1/asset/{entry.id}?download", parsed.addresses())
            self.assertIn(entry.type, facts)
            self.assertIn(readable_size(entry.size), facts)

    def test_empty_object_has_no_player_and_no_range(self) -> None:
        """
        Of nothing, nothing can be played, and no range can be had.
        """
        parsed = Parsed.of(page("Library", "node", [ENTRIES[-1]], ORIGIN))
        self.assertEqual(parsed.all("video"), [])
        self.assertEqual(parsed.text["code"], [f"curl -i {ORIGIN}/api/v1/asset/7"])

    def test_nothing_comes_from_elsewhere_and_nothing_runs(self) -> None:
        """
        No script, no style attribute, no address outside the node.
        """
        parsed = Parsed.of(page("Library", "node", ENTRIES, ORIGIN))
        self.assertEqual(parsed.all("script"), [])
        for _, attributes in parsed.elements:
            self.assertEqual([key for key in attributes if key == "style" or key.startswith("on")], [])
        self.assertEqual([a for a in parsed.addresses() if not a.startswith("/") and a != "data:,"], [])

    def test_policy_allows_the_style_that_the_page_has(self) -> None:
        """
        The hash in the policy is that of the style element, or a browser would show the page bare.
        """
        [style] = Parsed.of(page("Library", "node", ENTRIES)).text["style"]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
        self.assertIn(f"style-src 'sha256-{digest}'", CONTENT_SECURITY_POLICY)
        self.assertTrue(CONTENT_SECURITY_POLICY.startswith("default-src 'none';"))

    def test_without_entries_it_says_what_the_node_is(self) -> None:
        """
        A configured node shows no players, and where its API is.
        """
        parsed = Parsed.of(page("Distributor", "node-9", (), ORIGIN))
        self.assertEqual(parsed.all("video"), [])
        self.assertIn("node-9", parsed.text["strong"])
        for path in ("/api/v1/status", "/api/v1/buckets", "/api/v1/openapi.json"):
            self.assertIn(path, parsed.addresses())

    def test_id_stays_one_segment_of_the_path(self) -> None:
        """
        Whatever is in it, the link leads to an asset, and not to a query, a fragment or another place.
        """
        parsed = Parsed.of(page("Library", "node", [PageEntry("../a?b#c/d", "t", "text/plain", 9)], ORIGIN))
        self.assertIn("/api/v1/asset/..%2Fa%3Fb%23c%2Fd", parsed.addresses())

    @given(st.builds(PageEntry, *[st.text()] * 3, st.integers(0, 2**62), *[st.text()] * 3), st.text(), st.text())
    def test_hostile_text_stays_text(self, entry: PageEntry, title: str, origin: str) -> None:
        """
        Whatever the words are, the page has the elements that it would have with plain ones.
        """
        kind = entry.type.partition("/")[0]
        plain = PageEntry(
            "1", "t", f"{kind if kind in ('video', 'audio', 'image') else 'x'}/y", entry.size, "d", "2", "3"
        )
        hostile = Parsed.of(page(title, title, [entry], origin))
        expected = Parsed.of(page("t", "n", [plain], ORIGIN))
        self.assertEqual(
            [(name, sorted(attributes)) for name, attributes in hostile.elements],
            [(name, sorted(attributes)) for name, attributes in expected.elements],
        )

    @given(st.sampled_from(["video/mp4", "image/png", "audio/mpeg"]), st.text(alphabet="<>&\"'`= /\x00é\n-x"))
    def test_hostile_words_come_through_whole(self, type: str, words: str) -> None:
        """
        Escaping loses nothing: a reader of the page finds the title and the description that went in.
        """
        parsed = Parsed.of(page(words, words, [PageEntry("1", words, type, 9, words)]))
        for tag in ("title", "strong", "h1", "h2"):
            self.assertEqual("".join(parsed.text.get(tag, [])), words)
        [player] = [a for name, a in parsed.elements if name in ("video", "img", "audio")]
        self.assertEqual(player.get("aria-label", player.get("alt")), words)

    @given(st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"])))
    def test_command_cannot_be_broken_out_of(self, origin: str) -> None:
        """
        The origin comes from the visitor's Host header: in a shell, the copied command has it as one word.
        """
        [command] = Parsed.of(page("t", "n", [FILM], origin)).text["code"]
        self.assertEqual(shlex.split(command)[-1], f"{origin}/api/v1/asset/1")
        self.assertEqual(len(shlex.split(command)), len(shlex.split(f"curl -s -D - -o part -r 0-1023 {ORIGIN}")))


class ReadableSizeTests(SynchronousTestCase):
    """
    Sizes for people.
    """

    def test_units(self) -> None:
        """
        A size is in the largest unit of which it is at least one.
        """
        for size, text in (
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1024**2 - 1, "1.0 MiB"),
            (3 * 1024**3, "3.0 GiB"),
            (5000 * 1024**4, "5000.0 TiB"),
        ):
            self.assertEqual(readable_size(size), text)
