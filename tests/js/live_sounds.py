"""What the fake microphone of the browser hears, and a file to say."""

import wave

import numpy as np

RATE_HZ = 48_000  # the only one that Chromium's fake microphone plays as it is
SPEECH_S, CYCLE_S = 0.7, 2.0
BURST_S, GAP_S, LONG_S = 0.32, 0.48, 6
NUM_BURSTS = 3


def write_microphone(path):
    """Write silence and a short utterance; the browser repeats it for ever."""
    times = np.arange(round(SPEECH_S * RATE_HZ)) / RATE_HZ
    # Speech, as far as a noise suppressor knows: harmonics in syllables.
    voice = sum(np.sin(2 * np.pi * 140 * k * times) / k for k in range(1, 20))
    voice *= 0.15 * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * times))
    write_wav(path, np.concatenate([np.zeros(round((CYCLE_S - SPEECH_S) * RATE_HZ)), voice]))


def write_tones(path):
    """Write short tones, each at the beginning of a frame, and a long one."""
    times = np.arange(LONG_S * RATE_HZ) / RATE_HZ
    tone = 0.5 * np.sin(2 * np.pi * 440 * times)
    burst = [tone[: round(BURST_S * RATE_HZ)], np.zeros(round(GAP_S * RATE_HZ))]
    write_wav(path, np.concatenate([*(burst * NUM_BURSTS), tone]))


def write_minutes(path, seconds):
    """Write a tone of 0.8 s every 2 s."""
    times = np.arange(seconds * RATE_HZ) / RATE_HZ
    write_wav(path, 0.5 * np.sin(2 * np.pi * 440 * times) * (times % 2 < 0.8))


def write_wav(path, samples):
    """Write mono float samples as 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((32767 * samples).astype("<i2").tobytes())
