"""The jobs in words: those that there are, each with a sentence."""

from jobs import JOBS
from portal.domain.batches import REHEARSAL, list_jobs, list_startable_jobs
from portal.queries.populations import POPULATIONS


def test_every_job_is_told_by_the_same_name_everywhere() -> None:
    jobs = list_jobs()

    assert {job.name for job in jobs} == set(JOBS) == set(POPULATIONS)
    assert {job.name: job.title for job in jobs} == {job.name: job.title for job in JOBS.values()}
    assert {*jobs} - {*list_startable_jobs()} == {REHEARSAL}


def test_every_job_has_a_sentence_of_its_own() -> None:
    sentences = [job.sentence for job in list_jobs()]

    assert len(set(sentences)) == len(sentences)
    assert all(sentence.endswith(".") and "_" not in sentence for sentence in sentences)
