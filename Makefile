# make              builds the library: priv/xets.so and, under _build/erl, the Erlang modules
# make test         everything: see test/run.sh for the suites
# make core core_asan core_tsan core_bench model eunit exunit vm_asan packages: one suite
# make asan, make tsan: what runs under the sanitizers
# make matrix       everything on OTP 25, 27 and 29, with terms native and portable: in chroots of
#                   Debian, made by debootstrap once; needs root. See test/matrix.sh
# make fuzz         FUZZ_SECONDS (60) each: random operations on ordered tables, with libFuzzer if
#                   there is clang; mutated terms as their keys, as objects in files, and as
#                   match specifications, in a VM under AddressSanitizer. All print their seeds;
#                   what was found lies in _build/fuzz
# make prove        PROVE_SECONDS (600) of random terms, millions of them, read in all ways while heaps
#                   are collected, nearly full, looked through, in fragments: half of the time as
#                   it is, half under AddressSanitizer. Prints its seeds
# make bench        xets beside ets; QUICK=1 in seconds, FILTER=REGEXP for some cells only,
#                   TERMS=portable to compare with
# make shell        an Erlang shell with the library
# make doc          puts the documentation that h/2 shows into xets.beam
# make dialyzer
# make clean
#
# All install what they need on Debian as root, and say what is missing elsewhere.
# Variables: WERROR=1 makes warnings of the C compiler errors; TERMS=portable does without the
# native conversion of terms.

EBIN := _build/erl/xets/ebin
ERL ?= erl
ERLC ?= erlc
ESCRIPT ?= $(patsubst %erl,%escript,$(ERL))
CORE_SUITES := core core_asan core_tsan core_bench model
BEAM_SUITES := eunit exunit vm_asan packages

export ERL ERLC MAKE WERROR
ifneq ($(TERMS),)
export XETS_TERMS := $(TERMS)
endif

build: setup-build
	@unset MAKEFLAGS; $(MAKE) -s -C c_src
	@$(MAKE) -s $(EBIN)/.built

# One run of the compiler for all modules: starting it takes longer than compiling them.
$(EBIN)/.built: $(wildcard src/*.erl src/*.hrl) src/xets.app.src
	@mkdir -p $(EBIN)
	@ln -sfn ../../../priv _build/erl/xets/priv
	@$(ERLC) +debug_info $(if $(WERROR),-Werror) -o $(EBIN) src/*.erl
	@cp src/xets.app.src $(EBIN)/xets.app
	@touch $@

# Quick when nothing is missing. It comes first everywhere: a bare machine has no erl to ask.
setup-%:
	@test/setup.sh $*

test: setup-test build
	@test/run.sh

$(CORE_SUITES): setup-test
	@test/run.sh $@

$(BEAM_SUITES): setup-test build
	@test/run.sh $@

asan: setup-test build
	@test/run.sh core_asan vm_asan

tsan: setup-test
	@test/run.sh core_tsan

matrix:
	@test/matrix.sh

fuzz: setup-test build
	@test/run.sh fuzz

prove: setup-test build
	@test/run.sh prove

bench: setup-bench build
	@$(ERL) -noshell -noinput -pa $(EBIN) -run xets_bench main \
	    $(if $(filter-out 0,$(QUICK)),quick) $(if $(FILTER),'filter=$(FILTER)')

shell: doc
	@$(ERL) -pa $(EBIN)

doc: setup-doc build
	@$(ESCRIPT) src/xets_docs.escript $(EBIN)

dialyzer: setup-dialyzer build _build/otp.plt
	@dialyzer --plt _build/otp.plt -Wunmatched_returns -Werror_handling $(EBIN)

# Status 2: done, with warnings about OTP itself.
_build/otp.plt:
	@dialyzer --build_plt --output_plt $@ --apps erts kernel stdlib crypto || [ $$? = 2 ]

clean:
	rm -rf _build priv/xets.so

.NOTPARALLEL:
.PHONY: build test matrix fuzz prove bench shell doc dialyzer clean asan tsan $(CORE_SUITES) $(BEAM_SUITES)
