"""Progress is ordered, coalesced, and never after the result."""

import asyncio

from core.worker.progress import Progress


class Wire:
    """Receives reports, each for `seconds`; records them, and whether two overlapped."""

    def __init__(self, seconds=0.0, error=None):
        self.seconds, self.error = seconds, error
        self.arrived, self.started, self.busy, self.overlap = [], 0, False, False

    async def __call__(self, report):
        self.overlap |= self.busy
        self.busy, self.started = True, self.started + 1
        try:
            await asyncio.sleep(self.seconds)
            if self.error:
                raise self.error
            self.arrived.append(report.step)
        finally:
            self.busy = False


async def test_reports_arrive_in_order_one_at_a_time_and_the_newest_wins():
    wire = Wire(seconds=0.005)
    progress = Progress(wire, interval_s=0)
    for step in range(1, 101):
        progress.report("generate", step, 100)
        await asyncio.sleep(0.0005)
    await asyncio.sleep(0.02)
    assert wire.arrived == sorted(wire.arrived)
    assert wire.arrived[-1] == 100
    assert len(wire.arrived) < 100
    assert not wire.overlap
    await progress.close()


async def test_at_most_one_report_per_interval():
    wire = Wire()
    progress = Progress(wire, interval_s=60)
    for step in range(1, 51):
        progress.report("generate", step, 50)
        await asyncio.sleep(0)
    await progress.close()
    assert wire.started == 1


async def test_no_report_is_sent_after_close():
    wire = Wire(seconds=0.02)
    progress = Progress(wire, interval_s=0)
    progress.report("generate", 1, 2)
    await asyncio.sleep(0.005)
    progress.report("generate", 2, 2)
    await progress.close()
    progress.report("generate", 2, 2)
    await asyncio.sleep(0.05)
    assert wire.arrived == [1]


async def test_hanging_report_delays_the_result_only_briefly(monkeypatch):
    monkeypatch.setattr("core.worker.progress._LAST_SEND_S", 0.05)
    wire = Wire(seconds=600)
    progress = Progress(wire, interval_s=0)
    progress.report("generate", 1, 2)
    await asyncio.sleep(0.005)
    await asyncio.wait_for(progress.close(), 2)
    assert not wire.busy


async def test_failed_report_affects_neither_the_next_one_nor_the_result():
    wire = Wire(error=RuntimeError("Session is closed"))
    progress = Progress(wire, interval_s=0)
    progress.report("generate", 1, 2)
    await asyncio.sleep(0.005)
    wire.error = None
    progress.report("generate", 2, 2)
    await asyncio.sleep(0.005)
    await progress.close()
    assert wire.arrived == [2]


async def test_close_without_a_report_does_nothing():
    await Progress(Wire(), interval_s=0).close()


async def test_last_step_is_reported_at_once():
    calls = []
    progress = Progress(Wire(), interval_s=60, on_last_step=lambda: calls.append(progress.last_step_at))
    progress.report("generate", 7, 8)
    assert calls == []
    progress.report("generate", 8, 8)
    assert len(calls) == 1
    assert calls[0] is not None
    progress.report("generate", 1, 8)
    assert progress.last_step_at is None
    await progress.close()
