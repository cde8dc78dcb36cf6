"""One reader for each source of data, all behind :class:`selfpose.data.protocol.PoseDataset`."""
