"""What to tell somebody who has just trained: what the numbers say, and what to try."""

from collections.abc import Iterator

from experiments.records import Record


def advice(record: Record) -> Iterator[str]:
    """Lines on a run's record: the cameras as learnt, and depth that is none."""
    metrics, flat = record["metrics"], record["baselines"].get("flat") or {}
    here, there = metrics.get("p_mpjpe_mm"), flat.get("p_mpjpe_mm")
    if here is not None and there is not None and here >= there:
        mirrored = metrics.get("p_mpjpe_reflection_mm", here) < 0.8 * here
        yield (
            "In 3D the run is no better than the same 2D poses laid flat"
            + (": much of it is mirrored in depth." if mirrored else ".")
        )
    mean, spread = metrics.get("elevation_mean_deg"), metrics.get("elevation_sd_deg")
    if mean is None or spread is None or record["parameters"].get("elevation") != "learned":
        return
    looks = "down" if mean >= 0 else "up"
    yield (
        f"The cameras look {looks} by {abs(mean):.0f} ± {spread:.0f} degrees, as far as this was "
        "learnt from 2D alone. If you know that this is wrong, say what is right: --set "
        "elevation=fixed --set elevation_mean=… --set elevation_sd=… (positive: they look down)."
    )


__all__ = ["advice"]
