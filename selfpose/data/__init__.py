"""One reader for each source of data, all behind :class:`selfpose.data.dataset.PoseDataset`."""
