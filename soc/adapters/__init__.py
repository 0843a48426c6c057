"""One module or folder per outside world: Kafka, Elasticsearch, SQLite, files, sockets."""
