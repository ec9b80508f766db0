// Signs a digest as a wallet does: the order is a line of JSON on standard input; each line it prints is a URL for the holder's browser, whose last
// address comes back on standard input; the last line is the signature.
import eu.europa.ec.eudi.rqes.*
import io.ktor.client.HttpClient
import io.ktor.client.engine.java.Java
import io.ktor.client.plugins.contentnegotiation.ContentNegotiation
import io.ktor.serialization.kotlinx.json.json
import kotlinx.coroutines.runBlocking
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import java.net.URI
import java.net.URLDecoder
import java.time.Instant
import java.util.UUID

fun main() = runBlocking {
    val order = Json.parseToJsonElement(readln()).jsonObject.mapValues { it.value.jsonPrimitive.content }
    val config = CSCClientConfig(
        OAuth2Client.Confidential.ClientSecretBasic(order.getValue("client"), order.getValue("secret")),
        URI(order.getValue("redirect")),
        URI(order.getValue("url")).toURL(),
        ParUsage.Required,
    )
    val http = { HttpClient(Java) { install(ContentNegotiation) { json(Json { ignoreUnknownKeys = true }) } } }
    val client = CSCClient.oauth2(config, order.getValue("url"), http).getOrThrow()
    with(client) {
        val serviceState = UUID.randomUUID().toString()
        val asked = prepareServiceAuthorizationRequest(serviceState).getOrThrow()
        val service = with(asked) {
            authorizeWithAuthorizationCode(browse(value), serviceState).getOrThrow()
        }
        val credential = with(service) {
            listCredentials(CredentialsListRequest(certificates = Certificates.Chain)).getOrThrow().single()
        }
        val digests = DocumentDigestList(
            listOf(DocumentDigest(Digest(order.getValue("hash")), "A contract")),
            HashAlgorithmOID.SHA_256,
            Instant.now(),
        )
        val subject = CredentialAuthorizationSubject(CredentialRef.ByCredentialID(credential.credentialID), digests, 1)
        val credentialState = UUID.randomUUID().toString()
        val prepared = with(service) {
            prepareCredentialAuthorizationRequest(subject, credentialState).getOrThrow()
        }
        val authorized = with(prepared) {
            authorizeWithAuthorizationCode(browse(authorizationRequestPrepared), credentialState).getOrThrow()
        }
        require(authorized is CredentialAuthorized.SCAL2)
        val signatures = with(authorized) { signHash(SigningAlgorithmOID(order.getValue("algorithm"))).getOrThrow() }
        println(signatures.signatures.single().value)
    }
}

/** Prints where the browser has to go, and reads the code from where it ended. */
fun browse(prepared: AuthorizationRequestPrepared): AuthorizationCode {
    println(prepared.authorizationCodeURL.value)
    val query = URI(readln()).rawQuery.split("&").associate { it.substringBefore("=") to it.substringAfter("=") }
    return AuthorizationCode(URLDecoder.decode(query.getValue("code"), "UTF-8"))
}
