"""DVG: training pairs from flat video, with real pixels as their target."""
