"""The wallet: card types, life cycle, scenes, terminals."""
