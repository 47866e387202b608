"""A portrait and speech, drawn."""

import math
import wave

import numpy as np
from PIL import Image, ImageDraw

RATE_HZ = 44_100
SOUND_S = 6.0


def draw_portrait(path):
    image = Image.new("RGB", (160, 200), "steelblue")
    draw = ImageDraw.Draw(image)
    draw.ellipse((30, 30, 130, 170), "peachpuff")
    for left in (55, 90):
        draw.ellipse((left, 75, left + 15, 90), "black")
    draw.ellipse((60, 125, 100, 140), "firebrick")
    image.save(path)


def write_speech(path, duration_s=SOUND_S):
    """Write syllables in stereo: a tone that swells four times a second."""
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    tone = 0.3 * np.sin(2 * math.pi * 180 * time_s) * np.sin(math.pi * 4 * time_s) ** 2
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((np.stack([tone, tone / 2], axis=1) * 32767).astype("<i2").tobytes())
