"""Files as a system: on this machine, in S3, Google Cloud Storage or Azure, or behind SFTP."""
