# Meson and Ninja do the work; this file gives it short names. Each goal first installs the Debian
# packages that it needs and says which (tools/packages).
BUILD  ?= build
SECRET ?= 12345
PREFIX ?= /usr/local

# On a terminal ninja's one line of progress, else silence.
all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) $$([ -t 1 ] || echo --quiet)

$(BUILD)/build.ninja: meson.build
	@tools/packages build
	@said=$$(meson setup $(BUILD) --prefix=$(PREFIX) -Dbuildtype=release -Db_ndebug=false 2>&1) || \
		{ echo "$$said" | tail -n 5; exit 1; }

demo: all
	@tools/packages demo
	@tools/demo $(BUILD)/lucca "$(SECRET)"

test: all
	@tools/packages demo test
	@tools/test $(BUILD)

bench: all
	@tools/packages demo test bench
	@bench/measure.py $(BUILD)/bench/measure_bench tests/data/measure/ovmf_AmdSev_suffix.bin \
		$(BUILD)/bench-measure.json
	@bench/bench $(BUILD)/lucca $(BUILD)/bench.json

lint: all
	@tools/packages build lint
	@tools/lint $(BUILD)

fuzz: all
	@tools/packages test
	@tools/fuzz

# The pages that are made from tables.
docs: all
	@ninja -C $(BUILD) --quiet docs

# To PREFIX; DESTDIR is heeded.
install: all
	@meson configure $(BUILD) --prefix=$(PREFIX)
	@meson install -C $(BUILD) --quiet

clean:
	rm -rf $(BUILD) $(BUILD)-* tests/*/__pycache__

.PHONY: all demo test bench lint fuzz docs install clean
