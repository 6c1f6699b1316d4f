# make              builds the library: priv/xets.so and, under _build/erl, the Erlang modules
# make test         everything: see test/run.sh for the suites
# make core core_asan core_tsan core_bench model eunit exunit vm_asan packages: one suite
# make asan, make tsan: what runs under the sanitizers
# make bench        xets beside ets; QUICK=1 in seconds, FILTER=REGEXP for some cells only
# make shell        an Erlang shell with the library
# make doc          the documentation for h/2 of that shell
# make dialyzer
# make clean
#
# All install what they need on Debian as root, and say what is missing elsewhere.
# Variables: WERROR=1 makes warnings of the C compiler errors; TERMS=portable does without the
# native conversion of terms.

EBIN := _build/erl/xets/ebin
ERL ?= erl
ERLC ?= erlc
SUITES := core core_asan core_tsan core_bench model eunit exunit vm_asan packages

export ERL ERLC WERROR
ifneq ($(TERMS),)
export XETS_TERMS := $(TERMS)
endif

build: setup-build native $(EBIN)/.built

setup-%:
	@test/setup.sh $*

native:
	@$(MAKE) -s -C c_src

# One run of the compiler for all modules: starting it takes longer than compiling them.
$(EBIN)/.built: $(wildcard src/*.erl src/*.hrl) src/xets.app.src
	@mkdir -p $(EBIN)
	@ln -sfn ../../../priv _build/erl/xets/priv
	@$(ERLC) +debug_info $(if $(WERROR),-Werror) -o $(EBIN) src/*.erl
	@cp src/xets.app.src $(EBIN)/xets.app
	@touch $@

test: setup-test build
	@MAKE="$(MAKE)" test/run.sh

$(SUITES): setup-test build
	@MAKE="$(MAKE)" test/run.sh $@

asan: setup-test build
	@MAKE="$(MAKE)" test/run.sh core_asan vm_asan

tsan: setup-test build
	@MAKE="$(MAKE)" test/run.sh core_tsan

bench: setup-bench build
	@$(ERL) -noshell -noinput -pa $(EBIN) -run xets_bench main \
	    $(if $(QUICK),quick) $(if $(FILTER),'filter=$(FILTER)')

shell: build doc
	@$(ERL) -pa $(EBIN)

doc: setup-doc _build/erl/xets/doc/chunks/xets.chunk

_build/erl/xets/doc/chunks/xets.chunk: src/xets.erl | setup-doc
	@$(ERL) -noshell -noinput -eval 'edoc:files(["$<"], [{preprocess, true}, {dir, "_build/erl/xets/doc"}, \
	    {doclet, edoc_doclet_chunks}, {layout, edoc_layout_chunks}]), halt().'

dialyzer: setup-dialyzer build _build/otp.plt
	@dialyzer --plt _build/otp.plt -Wunmatched_returns -Werror_handling $(EBIN)

# Status 2: done, with warnings about OTP itself.
_build/otp.plt: | setup-dialyzer
	@dialyzer --build_plt --output_plt $@ --apps erts kernel stdlib crypto || [ $$? = 2 ]

clean:
	rm -rf _build priv/xets.so

# The set-up first: without it the rest may lack its tools.
native $(EBIN)/.built: | setup-build
build: | setup-build

.PHONY: build native test bench shell doc dialyzer clean asan tsan $(SUITES)
