/* What the guest's owner does in test_attack.c: keys and messages, with libcrypto. */
#ifndef LUCCA_TESTS_ATTACK_OWNER_H
#define LUCCA_TESTS_ATTACK_OWNER_H

#include <stdbool.h>
#include <stdint.h>

/* A report request as number `seqno` under VMPCK0. */
bool owner_seal(uint8_t page[4096], const uint8_t key[32], uint64_t seqno);
/* The launch digest in the report that answers it. */
bool owner_open(uint8_t page[4096], const uint8_t key[32], uint64_t seqno, uint8_t digest[48]);
/* An ID block for this digest and policy, signed by a fresh key. */
bool owner_identity(const uint8_t digest[48], uint64_t policy, uint8_t block[96],
                    uint8_t auth[4096]);

#endif
