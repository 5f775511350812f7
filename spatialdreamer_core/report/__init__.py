"""What a run did, to look at: contact sheets and one self-contained page."""
