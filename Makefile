.PHONY: check format test test-gpu

check:
	.ci/check

format:
	ruff check --fix .
	ruff format .

test:
	python -m pytest --quiet

test-gpu:
	python -m pytest --quiet -m "gpu or multigpu"
