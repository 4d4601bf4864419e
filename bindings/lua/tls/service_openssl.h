/* service_openssl.h: the functions of OpenSSL that TLS uses, found when the first connection needs them.
 *
 * One table for the process, as the library is one for the process: it is filled once, and never taken back, because OpenSSL
 * cannot be unloaded. Nothing is linked with it: a program without TLS need not have it, and does not pay for it at its
 * start. */
#ifndef SAROS_LUA_OPENSSL_H
#define SAROS_LUA_OPENSSL_H

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// clang-format off
#define SAROS_OPENSSL_FUNCTIONS(X)                                                                                    \
    X(ASN1_STRING_get0_data) X(ASN1_STRING_length) X(ASN1_TIME_diff) X(ASN1_TIME_free) X(ASN1_TIME_set) X(BIO_ctrl)   \
    X(BIO_free) X(BIO_get_data) X(BIO_get_new_index) X(BIO_meth_free) X(BIO_meth_new) X(BIO_meth_set_ctrl)            \
    X(BIO_meth_set_read) X(BIO_meth_set_write) X(BIO_new) X(BIO_new_mem_buf) X(BIO_s_mem) X(BIO_set_data)             \
    X(BIO_set_flags) X(BIO_clear_flags) X(BIO_set_init) X(BN_bn2hex) X(BN_free) X(ASN1_INTEGER_to_BN) X(CRYPTO_free)  \
    X(ERR_clear_error) X(ERR_peek_error) X(ERR_peek_last_error) X(ERR_reason_error_string) X(EVP_PKEY_free)           \
    X(EVP_sha256) X(GENERAL_NAMES_free) X(OPENSSL_sk_num) X(OPENSSL_sk_value) X(PEM_read_bio_PrivateKey)              \
    X(PEM_read_bio_X509) X(PEM_read_bio_X509_AUX) X(PEM_write_bio_X509) X(SSL_CIPHER_get_name) X(SSL_CIPHER_get_bits) \
    X(SSL_CTX_add_client_CA) X(SSL_CTX_callback_ctrl) X(SSL_CTX_check_private_key) X(SSL_CTX_ctrl) X(SSL_CTX_free)    \
    X(SSL_CTX_get_cert_store) X(SSL_CTX_load_verify_locations) X(SSL_CTX_new) X(SSL_CTX_set_alpn_select_cb)           \
    X(SSL_CTX_set_cipher_list) X(SSL_CTX_set_ciphersuites) X(SSL_CTX_set_default_verify_paths) X(SSL_CTX_set_options) \
    X(SSL_CTX_set_session_id_context) X(SSL_CTX_use_PrivateKey) X(SSL_CTX_use_certificate) X(SSL_SESSION_free)        \
    X(SSL_SESSION_get0_hostname) X(SSL_ctrl) X(SSL_do_handshake) X(SSL_free) X(SSL_get0_alpn_selected)                \
    X(SSL_get0_param) X(SSL_get1_session) X(SSL_get_current_cipher) X(SSL_get_error) X(SSL_get_peer_certificate)      \
    X(SSL_get_servername) X(SSL_get_session) X(SSL_get_verify_mode) X(SSL_get_verify_result) X(SSL_get_version)       \
    X(SSL_is_server) X(SSL_new) X(SSL_read_ex) X(SSL_select_next_proto) X(SSL_session_reused) X(SSL_set_SSL_CTX)      \
    X(SSL_set_accept_state) X(SSL_set_alpn_protos) X(SSL_set_bio) X(SSL_set_connect_state) X(SSL_set_session)         \
    X(SSL_set_session_id_context) X(SSL_set_verify) X(SSL_shutdown) X(SSL_write_ex) X(TLS_method)                     \
    X(X509_NAME_print_ex) X(X509_STORE_add_cert) X(X509_VERIFY_PARAM_set1_host) X(X509_VERIFY_PARAM_set1_ip_asc)      \
    X(X509_VERIFY_PARAM_set_hostflags) X(X509_digest) X(X509_free) X(X509_get0_notAfter) X(X509_get0_notBefore)       \
    X(X509_get0_serialNumber) X(X509_get_ext_d2i) X(X509_get_issuer_name) X(X509_get_subject_name)                    \
    X(X509_verify_cert_error_string)
// clang-format on

typedef struct saros_openssl {
    void       *library;
    BIO_METHOD *method; /* how OpenSSL reads and writes through an engine of ours */
#define SAROS_OPENSSL_FUNCTION(name) __typeof__ (&(name))(name);
    SAROS_OPENSSL_FUNCTIONS(SAROS_OPENSSL_FUNCTION)
#undef SAROS_OPENSSL_FUNCTION
} saros_openssl;

/* The table, filled if need be; NULL, with the reason in why[0..size). Any thread. */
const saros_openssl *saros_openssl_open(char *why, size_t size);
/* For the table that is being filled: engine.c knows. NULL: no memory. */
BIO_METHOD *saros_tls_method(const saros_openssl *openssl);
/* The table, which is there. Any thread. */
const saros_openssl *saros_openssl_table(void);

#endif
