"""Settings of PostgreSQL for benchmarks."""


def fast(memory: int, processors: int) -> dict[str, str]:
    """Settings for a dedicated machine with that many bytes of memory, and data that may be lost."""
    return {
        "shared_buffers": f"{memory // 4 // 1024**2}MB",
        "effective_cache_size": f"{memory * 3 // 4 // 1024**2}MB",
        "work_mem": "256MB",
        "maintenance_work_mem": "1GB",
        "random_page_cost": "1.1",
        "max_parallel_workers_per_gather": str(processors),
        "max_parallel_maintenance_workers": str(processors),
        # A frequent value needs another plan than a rare one.
        "plan_cache_mode": "force_custom_plan",
        # Useful for reports, not for queries of milliseconds.
        "jit": "off",
        "autovacuum": "off",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "1h",
    }
