"""Show the stages of a request while it runs.

python examples/progress.py "a lighthouse at dusk"
"""

from __future__ import annotations

import sys

from img_pod import ImgPod
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


def main(prompt: str) -> None:
    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
    )
    with ImgPod() as client, Progress(*columns) as bars:
        bar = bars.add_task("waiting", total=100)
        picture = client.imagegen(
            prompt=prompt,
            caption=True,
            on_progress=lambda report: bars.update(bar, description=report.stage, completed=report.percent),
        )
        bars.update(bar, description="done", completed=100)
    print(picture.save(f"picture.{picture.image_format}"), "–", picture.caption)
    for stage in picture.timeline:
        print(f"{stage.stage:>10}  queued {stage.queue_ms or 0:>6} ms  worked {stage.device_ms or 0:>6} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
