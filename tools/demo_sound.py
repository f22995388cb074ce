"""
The sound of the built-in demo library, as WAVE files; C{tools/make-demo-media} calls this.
"""

from __future__ import annotations

import array
import math
import wave
from collections.abc import Sequence
from pathlib import Path

SAMPLE_RATE = 48_000

# In MIDI numbers, the film's four chords, six seconds each, and the tune that the clip and the MP3 share.
CHORDS = ((45, 52, 60, 64, 67), (41, 48, 57, 60, 64), (48, 55, 60, 64, 71), (43, 50, 59, 62, 64))
_NOTES = (69, 72, 76, 74, 72, 67, 69, 65, 69, 72, 71, 67, 64, 67, 69, 69)
_BEATS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5, 8.0)
TUNE = tuple(zip(_BEATS, _NOTES, strict=True))


def tone(midi: int, at: float, long: float, loud: float, attack: float, out: list[float]) -> None:
    """
    Add a note with three soft partials to the samples of one channel.
    """
    hertz = 440 * 2 ** ((midi - 69) / 12)
    first = round(at * SAMPLE_RATE)
    for n in range(min(round(long * SAMPLE_RATE), len(out) - first)):
        s = n / SAMPLE_RATE
        envelope = min(1.0, s / attack) * min(1.0, (long - s) / (long * 0.6)) ** 1.5
        angle = math.tau * hertz * s
        wavelet = math.sin(angle) + 0.28 * math.sin(2 * angle) + 0.1 * math.sin(3 * angle)
        out[first + n] += loud * envelope * wavelet


def write_wave(path: Path, left: Sequence[float], right: Sequence[float]) -> None:
    samples = array.array("h")
    for pair in zip(left, right, strict=True):
        samples.extend(round(max(-1.0, min(1.0, value)) * 32000) for value in pair)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())


def pad(path: Path, long: int) -> None:
    """
    The film's sound: four chords that swell into one another.
    """
    left, right = [0.0] * (long * SAMPLE_RATE), [0.0] * (long * SAMPLE_RATE)
    for number, chord in enumerate(CHORDS):
        for voice, midi in enumerate(chord):
            begin, side = max(0.0, number * 6 + voice * 0.22 - 0.5), voice / (len(chord) - 1)
            tone(midi, begin, 7.4, 0.075 * (1.25 - side), 1.1, left)
            tone(midi, begin + 0.012, 7.4, 0.075 * (0.25 + side), 1.3, right)
    write_wave(path, left, right)


def tune(path: Path, long: float) -> None:
    """
    A short melody, plucked, with its echo on the other side.
    """
    left, right = [0.0] * round(long * SAMPLE_RATE), [0.0] * round(long * SAMPLE_RATE)
    for at, midi in TUNE:
        tone(midi, at, 1.5, 0.26, 0.008, left)
        tone(midi, at, 1.5, 0.17, 0.008, right)
        tone(midi, at + 0.25, 1.2, 0.08, 0.008, right)
    for at, midi in ((0.0, 45), (2.0, 48), (4.0, 41), (6.0, 43), (8.0, 45)):
        tone(midi, at, 2.4, 0.2, 0.02, left)
        tone(midi, at, 2.4, 0.2, 0.02, right)
    write_wave(path, left, right)
