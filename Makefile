.PHONY: check format test test-ranks test-e2e test-bench test-training test-browser test-gpu test-integrations

check:
	.ci/check

format:
	ruff check --fix .
	ruff format .

test:
	python -m pytest --quiet

test-ranks:
	python -m pytest --quiet -m ranks -n 2 --dist loadfile

test-e2e:
	python -m pytest --quiet -m e2e -n 2

test-bench:
	python -m pytest --quiet -m bench -n 2

test-training:
	python -m pytest --quiet -m training -n 2

test-browser:
	python -m pytest --quiet -m browser

test-gpu:
	python -m pytest --quiet -m "gpu or multigpu"

test-integrations:
	.ci/integrations
