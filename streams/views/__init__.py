"""What is read and can be made again from the log: the catalog, the Series that serves, replay."""
