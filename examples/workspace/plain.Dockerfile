# syntax=ghcr.io/larder-build/larder:1
