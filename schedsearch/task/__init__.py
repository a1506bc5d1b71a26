"""What a user brings: a task as a class, where it is loaded from, and the tasks that ship with the project."""

from schedsearch.task.loading import load_task
from schedsearch.task.options import option
from schedsearch.task.splits import Batch, Splits
from schedsearch.task.task import Task

__all__ = ["Batch", "Splits", "Task", "load_task", "option"]
