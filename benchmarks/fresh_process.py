"""Work in a process of its own, so that its peak memory is its own and nothing is loaded before."""

import multiprocessing


def in_process(work, *arguments):
    """What ``work(*arguments, queue)`` puts into the queue; it must be a function of a module."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=work, args=(*arguments, queue))
    process.start()
    answer = queue.get()
    process.join()
    return answer
