// Authentication, impersonation and authorization as the machinery calls them.
import API

package struct AccessControl: AccessPolicy {
    package let authenticator: Authenticator
    package let authorizer: Authorizer
    private let impersonation: Impersonation

    package init(authenticator: Authenticator, authorizer: Authorizer) {
        self.authenticator = authenticator
        self.authorizer = authorizer
        impersonation = Impersonation(authorizer: authorizer)
    }

    package func authenticate(_ credentials: Credentials, reader: any ObjectReader) throws(StatusError) -> UserInfo {
        let caller = try authenticator.authenticate(credentials, reader: reader)
        return try impersonation.user(caller, credentials.impersonation, reader: reader)
    }

    package func authorize(_ attributes: RequestAttributes, reader: any ObjectReader) -> AuthorizationDecision {
        authorizer.authorize(attributes, reader: reader)
    }
}
