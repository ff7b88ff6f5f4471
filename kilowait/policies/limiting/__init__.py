"""Power limits as part of a job's options: chosen with the GPU type, by one price, whatever the policy."""
