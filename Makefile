# Meson and Ninja do the work; this file gives it short names.
BUILD ?= build

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@meson setup $(BUILD) --buildtype=release >/dev/null

clean:
	rm -rf $(BUILD)

.PHONY: all clean
