"""Pictures of hands: overlays, contact sheets, videos."""
