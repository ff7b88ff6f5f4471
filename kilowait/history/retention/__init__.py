"""What becomes of jobs that are long over: tables in Parquet, and a history that keeps what is asked for daily."""
