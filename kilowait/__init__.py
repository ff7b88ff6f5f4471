"""kilowait predicts the runtime and energy of ML jobs from their source and schedules them on mixed GPUs."""

__version__ = "0.1.0"
