from __future__ import annotations

from itertools import islice
from typing import Any

from eagleray.runtime.settings import Settings


def test_whole_lines_are_read_once(tmp_path):
    from eagleray.runtime.ray_logs import read_news

    out, other = tmp_path / "worker-ab-01000000-7.out", tmp_path / "worker-cd-01000000-8.out"
    other.write_bytes(b"another's\n")
    out.write_bytes(b"one\ntw")
    assert read_news(str(tmp_path), "ab", {}) == [(b"one\n", out.name, 4)]
    assert read_news(str(tmp_path), "ab", {out.name: 4}) == []
    out.write_bytes(b"one\ntwo\n")
    assert read_news(str(tmp_path), "ab", {out.name: 4}) == [(b"two\n", out.name, 8)]
    assert read_news(str(tmp_path), "none", {}) == []


def test_a_line_without_an_end_does_not_stop_the_reading(tmp_path):
    from eagleray.runtime.ray_logs import _MOST_BYTES, read_news

    out = tmp_path / "worker-ab-01000000-7.out"
    out.write_bytes(b"x" * (_MOST_BYTES + 5))
    assert read_news(str(tmp_path), "ab", {}) == [(b"x" * _MOST_BYTES, out.name, _MOST_BYTES)]


def test_what_an_actor_prints_can_be_followed(ray_cluster: Settings):
    import ray

    from eagleray.runtime.ray_logs import Worker, lines

    @ray.remote(num_cpus=0)
    class Talks:
        def where(self):
            context = ray.get_runtime_context()
            return Worker(context.get_node_id(), context.get_worker_id())

        def say(self, text):
            print(text)

    actor: Any = Talks.remote()  # type: ignore[attr-defined]
    worker = ray.get(actor.where.remote())
    ray.get([actor.say.remote("first\nsecond"), actor.say.remote("third")])
    told = islice(lines(lambda: [worker], follow=True), 3)
    assert [next(told), next(told)] == ["first", "second"]
    assert next(told) == "third"
    ray.kill(actor)

    # Nobody left to follow: what is there is read, and that is all.
    assert list(lines(lambda: [worker])) == ["first", "second", "third"]
    assert list(lines(list, follow=True)) == []


def test_another_nodes_files_are_read_by_a_task_there(ray_cluster: Settings):
    import ray

    from eagleray.runtime import ray_logs

    @ray.remote(num_cpus=0)
    def say():
        print("from a task")
        context = ray.get_runtime_context()
        return context.get_node_id(), context.get_worker_id()

    node_id, worker_id = ray.get(say.remote())
    news = ray_logs.read_on(node_id, worker_id, {})
    assert any(b"from a task\n" in text for text, _, _ in news)
