"""ScheduledScale: a Deployment has so many replicas at these hours of these days, and so many otherwise. Times are UTC."""

from datetime import datetime, time, timedelta
from typing import Any, Dict, List, Optional

from sampan_operator import Answer, Question, format_time, run

DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
MINUTES_A_DAY = 24 * 60

Window = Dict[str, Any]


def minute(text: str) -> int:
    """`08:30` as minutes of the day; `24:00` is its end."""
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def window_at(windows: List[Window], now: datetime) -> Optional[Window]:
    """The first window that is open."""
    today, of_day = DAYS[now.weekday()], now.hour * 60 + now.minute
    for window in windows:
        if today in window.get("days", DAYS) and minute(window["from"]) <= of_day < minute(window["to"]):
            return window
    return None


def next_change(windows: List[Window], now: datetime) -> Optional[datetime]:
    """When another window is open, or none; None where that never changes."""
    midnight = datetime.combine(now.date(), time(), now.tzinfo)
    minutes = {0, MINUTES_A_DAY} | {minute(window[end]) for window in windows for end in ("from", "to")}
    moments = [midnight + timedelta(days=day, minutes=of_day) for day in range(8) for of_day in sorted(minutes)]
    current = window_at(windows, now)
    return next((at for at in moments if at > now and window_at(windows, at) != current), None)


def reconcile(question: Question) -> Answer:
    windows, target = question.spec.get("windows", []), question.spec["target"]
    window, change = window_at(windows, question.now), next_change(windows, question.now)
    replicas = window["replicas"] if window else question.spec.get("otherwise", 1)
    deployment = question.find("Deployment", target)
    if deployment is None:
        return Answer("TargetMissing", because="the target is missing", status={}).waiting_for(
            "the target is there", f"deployment {target}")
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": target}, "spec": {"replicas": replicas}}
    status: Dict[str, Any] = {"replicas": replicas}
    if change:
        status["nextChange"] = format_time(change)
    answer = Answer("InWindow" if window else "OutsideWindows", status=status, apply=[scaled],
                    because="a window is open" if window else "no window is open")
    if change:
        answer.wake_after = change - question.now
    before = deployment["spec"].get("replicas")
    if before != replicas:
        answer.event("Scaled", f"Scaled {target} from {before} to {replicas}")
    return answer


if __name__ == "__main__":
    run(reconcile)
