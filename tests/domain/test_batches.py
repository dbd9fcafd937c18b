"""The jobs in words: those that there are, each with a sentence."""

from jobs import JOBS
from portal.domain.batches import list_startable_jobs
from portal.queries.populations import POPULATIONS


def test_every_job_is_told_by_the_same_name_everywhere() -> None:
    startable = list_startable_jobs()

    assert {job.name for job in startable} == set(JOBS) == set(POPULATIONS)
    assert {job.name: job.title for job in startable} == {
        job.name: job.title for job in JOBS.values()
    }


def test_every_job_has_a_sentence_of_its_own() -> None:
    sentences = [job.sentence for job in list_startable_jobs()]

    assert len(set(sentences)) == len(sentences)
    assert all(sentence.endswith(".") and "_" not in sentence for sentence in sentences)
