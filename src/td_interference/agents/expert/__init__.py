"""The expert that plays D*: Rainbow."""
