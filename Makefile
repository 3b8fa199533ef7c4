# make          builds build/neap
# make run      the first screen: real events, twenty kills, a balance of zero
# make test     every promise's test          make check    what a release must pass
# make bench    the figures                   make install  PREFIX=/usr/local DESTDIR=
#
# scripts/setup looks for missing packages before each of them, and says nothing when nothing is missing.
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
PREFIX ?= /usr/local
export JOBS

.PHONY: all build run test check bench install clean setup
all: build

setup:
	@scripts/setup --quiet

build: setup
	@scripts/build build

run:
	@scripts/setup
	@scripts/build build
	@scripts/demo

test: build
	@test/run build

check: setup
	@scripts/check

bench: build
	@scripts/bench

install: build
	@scripts/install build "$(PREFIX)" "$(DESTDIR)"

clean:
	@rm -rf build build-*
