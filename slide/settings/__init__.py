"""Settings: dataclass fields with their ranges, meaning and needs, and attributes that take effect or say why not."""
