"""The rivals of chunk attention: ways to put chunk vectors together that others have published."""
