"""Delivery of finished pictures: inline in the answer, or uploaded to an S3 bucket."""
