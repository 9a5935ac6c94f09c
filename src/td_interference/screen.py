"""What an observation is made of, for everything that makes, stores or sees one."""

FRAME_SIZE = 84  # pixels, height and width of a frame
STACK = 4  # frames in an observation, oldest first
