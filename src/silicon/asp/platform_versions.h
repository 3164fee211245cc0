/* snp.json of a platform's directory: which firmware the chip has. */
#ifndef LUCCA_SILICON_ASP_PLATFORM_VERSIONS_H
#define LUCCA_SILICON_ASP_PLATFORM_VERSIONS_H

#include "silicon/asp/platform.h"

#define SNP_FILE "snp.json"

/* Fills p->versions: the chip's first ones where there is no such file. */
enum status platform_versions_load(struct platform *p, struct error *err) MUST_USE;

#endif
