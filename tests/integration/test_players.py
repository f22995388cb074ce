"""
What plays media, against the standalone demo: ffprobe, ffmpeg and a browser.
"""

from __future__ import annotations

import json
from pathlib import Path

import distributor
from tests.integration.browser import Browser
from tests.integration.client import run
from tests.integration.media import folder
from tests.integration.process import Node, ProcessTestCase, StorageNodeProcess

MEDIA = Path(distributor.__file__).parent / "devnet" / "media"

#: Waits for the first video of the page to play, seeks, and waits until it plays there.
_PLAY_AND_SEEK = """
(async () => {
  if (document.readyState === "loading")
    await new Promise(done => document.addEventListener("DOMContentLoaded", done, {once: true}));
  const video = document.querySelector("video");
  const fails = new Promise((_, fail) => {
    for (const each of [video, ...video.querySelectorAll("source")])
      each.addEventListener("error", () => fail(new Error("media error " + video.error?.message)));
  });
  const plays_beyond = seconds => Promise.race([fails, new Promise(done => {
    video.addEventListener("timeupdate", function look() {
      if (video.currentTime <= seconds || video.seeking) return;
      video.removeEventListener("timeupdate", look);
      done(video.currentTime);
    });
  })]);
  await video.play();
  const begun = await plays_beyond(0.2);
  const seeked = new Promise(done => video.addEventListener("seeked", () => done(video.currentTime), {once: true}));
  video.currentTime = 14;
  const landed = await Promise.race([fails, seeked]);
  const ended = await plays_beyond(14.2);
  return {begun, landed, ended, duration: video.duration, width: video.videoWidth, error: video.error};
})()
"""

#: Waits until the rest of the page has what it needs.
_LOOK_AROUND = """
(async () => {
  if (document.readyState !== "complete") await new Promise(done => addEventListener("load", done, {once: true}));
  const image = document.querySelector("main img");
  image.loading = "eager";
  await image.decode();
  const audio = document.querySelector("audio");
  audio.preload = "auto";
  if (audio.readyState < 1)
    await new Promise(done => audio.addEventListener("loadedmetadata", done, {once: true}));
  const track = document.querySelector("track");
  track.track.mode = "showing";
  if (track.readyState < 2) await new Promise(done => track.addEventListener("load", done, {once: true}));
  return {
    title: document.title, articles: document.querySelectorAll("article").length,
    image: image.naturalWidth, audio: audio.duration, captions: track.track.cues.length,
  };
})()
"""


class FfmpegTests(ProcessTestCase):
    """
    ffprobe and ffmpeg.
    """

    def probe(self, source: str | Path) -> object:
        """
        What ffprobe says of a file, wherever it is.
        """
        entries = "format=duration:stream=codec_name,width,height,channels,nb_frames"
        command = ("ffprobe", "-v", "error", "-show_entries", entries, "-of", "json", source)
        done = run(*command, directory=self.directory())
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return json.loads(done.stdout)

    def frame(self, source: str | Path, seconds: str) -> bytes:
        """
        The checksum of the first frame that ffmpeg gets after a seek.
        """
        command = ("ffmpeg", "-v", "error", "-ss", seconds, "-i", source, "-frames:v", "1", "-f", "framemd5", "-")
        done = run(*command, directory=self.directory())
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout

    def test_probe(self) -> None:
        """
        ffprobe finds in each of the demo's media what it finds in the files.
        """
        node = Node.start(self)
        for object_id, name in (("1", "day.mp4"), ("2", "pond.webm"), ("4", "tune.mp3")):
            told = self.probe(f"{node.url}/api/v1/asset/{object_id}")
            self.assertEqual(told, self.probe(MEDIA / name))

    def test_seek(self) -> None:
        """
        ffmpeg seeks in the MP4 while the node still fetches it, and after that: it gets the frame of the file.
        """
        video = (MEDIA / "day.mp4").read_bytes()
        storage = StorageNodeProcess.start(self, folder(self, {"1": video}), rate=512 * 1024)
        url = f"{Node.start(self, manifest=storage.manifest).url}/api/v1/asset/1"
        for seconds in ("15", "15", "3.5"):
            self.assertEqual(self.frame(url, seconds), self.frame(MEDIA / "day.mp4", seconds))


class BrowserTests(ProcessTestCase):
    """
    The first thing that a newcomer sees.
    """

    def test_page(self) -> None:
        """
        The page at the root shows the demo's library; its video plays, and plays on where it is told to go; there are
        captions, a picture and a tune; and the browser has no complaint.
        """
        node = Node.start(self)
        browser = Browser(self)
        browser.open(f"{node.url}/")
        played = browser.evaluate(_PLAY_AND_SEEK)
        self.assertGreater(played["begun"], 0.2)
        # At a frame, of which there are several in a fifth of a second.
        self.assertLess(abs(played["landed"] - 14), 0.2)
        self.assertGreater(played["ended"], 14.2)
        self.assertGreater(played["duration"], 20)
        self.assertGreater(played["width"], 0)
        self.assertIsNone(played["error"])
        seen = browser.evaluate(_LOOK_AROUND)
        self.assertEqual((seen["title"], seen["articles"]), ("Distributor", 7))
        self.assertGreater(seen["image"], 0)
        self.assertGreater(seen["audio"], 1)
        self.assertGreater(seen["captions"], 1)
        self.assertEqual(browser.complaints, [])
