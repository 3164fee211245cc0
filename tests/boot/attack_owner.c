/* What the guest's owner does in test_attack.c. */
#include "attack_owner.h"

#include "crypto/ecc.h"
#include "silicon/snp_abi.h"
#include "snp_guest_rig.h"

#define REPORT_REQUEST 5u   /* MSG_REPORT_REQ (SNP ABI, guest messages) */
#define REPORT_AT      0x20 /* in MSG_REPORT_RSP */
#define MEASUREMENT_AT 0x90 /* in the report */

bool owner_seal(uint8_t page[4096], const uint8_t key[32], uint64_t seqno)
{
    const uint8_t payload[0x60] = {0x11}; /* REPORT_DATA, and VMPL 0 */

    return guest_seal(page, key, seqno, REPORT_REQUEST, 0, payload, sizeof(payload));
}

bool owner_open(uint8_t page[4096], const uint8_t key[32], uint64_t seqno, uint8_t digest[48])
{
    uint8_t payload[FRAME_SIZE];
    size_t len;

    if (!guest_open(page, key, seqno, REPORT_REQUEST, 0, payload, &len) || load32(payload))
        return false;
    memcpy(digest, payload + REPORT_AT + MEASUREMENT_AT, 48);
    return true;
}

static void put_number(uint8_t le[72], const uint8_t be[48])
{
    for (unsigned i = 0; i < 48; i++)
        le[i] = be[47 - i];
}

bool owner_identity(const uint8_t digest[48], uint64_t policy, uint8_t block[96],
                    uint8_t auth[4096])
{
    struct snp_id_block b = {.version = SNP_ID_BLOCK_VERSION, .policy = policy};
    struct snp_id_auth a = {.id_key_algo = SNP_ALGO_ECDSA_P384_SHA384,
                            .auth_key_algo = SNP_ALGO_ECDSA_P384_SHA384};
    struct p384_signature sig;
    struct p384_key key;

    memcpy(b.ld, digest, sizeof(b.ld));
    if (!p384_generate(&key) || !p384_sign(&key, DIGEST_SHA384, &b, sizeof(b), &sig))
        return false;
    a.id_key.curve = SNP_CURVE_P384;
    put_number(a.id_key.qx, key.pub.x);
    put_number(a.id_key.qy, key.pub.y);
    put_number(a.id_block_sig.r, sig.r);
    put_number(a.id_block_sig.s, sig.s);
    memcpy(block, &b, sizeof(b));
    memcpy(auth, &a, sizeof(a));
    return true;
}
