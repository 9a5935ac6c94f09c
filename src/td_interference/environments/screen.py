"""What an observation and an agent step are made of, for everything that makes or uses them."""

FRAME_SIZE = 84  # pixels, height and width of a frame
STACK = 4  # frames in an observation, oldest first
FRAMESKIP = 4  # emulator frames per agent step
