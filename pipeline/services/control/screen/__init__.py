"""The screen: one static page of the control process, and the figures it shows. Floor 4."""
