"""Analytics rollups: 15-minute buckets from raw events, behind a watermark that loses none."""
