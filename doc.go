package preload
