//! Routes about logins, accounts, tokens and the audit log.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use cosmicsync_node::service::{
    AccountChange, AccountCreate, Command, Reply, Role, Scope, Secret, TokenCreate, request,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::access::Door;
use crate::call::{Caller, expect_reply};
use crate::extract::{Json, Out, Path, Query};
use crate::model::{
    AccountChangeBody, AccountView, Accounts, Audit, LoginBody, Me, NewAccount, NewTokenBody, SessionView, TokenMade,
    Tokens,
};
use crate::problem::{Code, Problem};

/// Largest number of audit entries in an answer.
const AUDIT_MAX: u64 = 1000;

/// The name of an account or a token in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct NamePath {
    /// The name of the account or token.
    name: String,
}

/// Starts a session.
///
/// The login is an account with its password, or the secret of a link that `cosmicsync login` printed. The session ends
/// after 12 hours.
#[utoipa::path(post, operation_id = "login", path = "/v1/auth/login", tag = "auth", security(()),
    request_body = LoginBody, responses((status = 200, body = SessionView)))]
pub(super) async fn login(State(door): State<Door>, Json(body): Json<LoginBody>) -> Result<Out<SessionView>, Problem> {
    let made =
        expect_reply!(request(&*door.backend, Command::Login(body.into())).await?, Reply::TokenMade(made) => made)?;
    let who = crate::access::who_sent(&door, made.token.0.clone()).await?;
    Ok(Out(SessionView::new(made, who.role)))
}

/// Ends the session.
///
/// A token that was not created by logging in stays valid.
#[utoipa::path(post, operation_id = "logout", path = "/v1/auth/logout", tag = "auth",
    responses((status = 204, description = "The session has ended.")))]
pub(super) async fn logout(caller: Caller) -> Result<StatusCode, Problem> {
    caller.log_out().await.map(|()| StatusCode::NO_CONTENT)
}

/// Returns the sender of the request.
#[utoipa::path(get, operation_id = "getMe", path = "/v1/auth/me", tag = "auth", responses((status = 200, body = Me)))]
pub(super) async fn me(caller: Caller) -> Out<Me> {
    Out(caller.who().clone().into())
}

/// Lists the accounts.
#[utoipa::path(get, operation_id = "listAccounts", path = "/v1/accounts", tag = "accounts",
    responses((status = 200, body = Accounts)))]
pub(super) async fn accounts(caller: Caller) -> Result<Out<Accounts>, Problem> {
    let reply = caller.request(Command::AccountList {}).await?;
    expect_reply!(reply, Reply::Accounts(all) => Out(Accounts { accounts: all.into_iter().map(Into::into).collect() }))
}

/// Creates an account.
#[utoipa::path(post, operation_id = "createAccount", path = "/v1/accounts", tag = "accounts",
    request_body = NewAccount, responses((status = 201, body = AccountView)))]
pub(super) async fn create_account(caller: Caller, Json(new): Json<NewAccount>) -> Result<Response, Problem> {
    let NewAccount { name, role, password } = new;
    let create = AccountCreate { name, role: role.into(), password: password.map(Secret) };
    let reply = caller.request(Command::AccountCreate(create)).await?;
    let made: AccountView = expect_reply!(reply, Reply::Account(account) => account.into())?;
    Ok((StatusCode::CREATED, Out(made)).into_response())
}

/// Changes the role or the password of an account.
///
/// With a new password, the account's sessions end.
#[utoipa::path(patch, operation_id = "changeAccount", path = "/v1/accounts/{name}", tag = "accounts", params(NamePath),
    request_body = AccountChangeBody, responses((status = 200, body = AccountView)))]
pub(super) async fn change_account(
    caller: Caller,
    Path(path): Path<NamePath>,
    Json(change): Json<AccountChangeBody>,
) -> Result<Out<AccountView>, Problem> {
    let AccountChangeBody { role, password } = change;
    let change = AccountChange { name: path.name, role: role.map(Role::from), password: password.map(Secret) };
    let reply = caller.request(Command::AccountChange(change)).await?;
    expect_reply!(reply, Reply::Account(account) => Out(account.into()))
}

/// Removes an account.
///
/// The account's tokens and sessions end.
#[utoipa::path(delete, operation_id = "deleteAccount", path = "/v1/accounts/{name}", tag = "accounts",
    params(NamePath), responses((status = 204, description = "It is gone.")))]
pub(super) async fn remove_account(caller: Caller, Path(path): Path<NamePath>) -> Result<StatusCode, Problem> {
    caller.request(Command::AccountRemove { name: path.name }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the tokens and sessions, without their secrets.
#[utoipa::path(get, operation_id = "listTokens", path = "/v1/tokens", tag = "accounts",
    responses((status = 200, body = Tokens)))]
pub(super) async fn tokens(caller: Caller) -> Result<Out<Tokens>, Problem> {
    let reply = caller.request(Command::TokenList {}).await?;
    expect_reply!(reply, Reply::Tokens(all) => Out(Tokens { tokens: all.into_iter().map(Into::into).collect() }))
}

/// Creates a token.
///
/// The secret is in this answer only.
#[utoipa::path(post, operation_id = "createToken", path = "/v1/tokens", tag = "accounts",
    request_body = NewTokenBody, responses((status = 201, body = TokenMade)))]
pub(super) async fn create_token(caller: Caller, Json(new): Json<NewTokenBody>) -> Result<Response, Problem> {
    let NewTokenBody { name, read_only, expires_ms, account, only } = new;
    let scope = if read_only { Scope::Read } else { Scope::Write };
    let only = only.into_iter().map(Into::into).collect();
    let create = TokenCreate { name, scope, expires_ms, account, only };
    let reply = caller.request(Command::TokenCreate(create)).await?;
    let made: TokenMade = expect_reply!(reply, Reply::TokenMade(made) => made.into())?;
    Ok((StatusCode::CREATED, Out(made)).into_response())
}

/// Revokes a token or ends a session.
#[utoipa::path(delete, operation_id = "deleteToken", path = "/v1/tokens/{name}", tag = "accounts", params(NamePath),
    responses((status = 204, description = "It lets nobody in any more.")))]
pub(super) async fn remove_token(caller: Caller, Path(path): Path<NamePath>) -> Result<StatusCode, Problem> {
    caller.request(Command::TokenRevoke { name: path.name }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The range of audit entries to return.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditOptions {
    /// The number of an entry; only entries with lower numbers are returned.
    #[param(maximum = 9223372036854775807_i64)]
    before: Option<u64>,
    /// Largest number of entries.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
}

/// Lists the entries of the audit log, newest first.
///
/// The log has logins, denied requests, and changes of accounts, tokens and rules. Accounts belong to this node, so
/// only this node can tell which person an account stands for.
#[utoipa::path(get, operation_id = "listAudit", path = "/v1/audit", tag = "accounts", params(AuditOptions),
    responses((status = 200, body = Audit)))]
pub(super) async fn audit(caller: Caller, Query(options): Query<AuditOptions>) -> Result<Out<Audit>, Problem> {
    let AuditOptions { before, limit } = options;
    if before.is_some_and(|before| i64::try_from(before).is_err()) {
        return Err(Problem::new(Code::BadRequest, "a number of a row is at most 9223372036854775807"));
    }
    if limit.is_some_and(|limit| !(1..=AUDIT_MAX).contains(&limit)) {
        return Err(Problem::new(Code::BadRequest, format!("a limit is 1 to {AUDIT_MAX}")));
    }
    let reply = caller.request(Command::AuditList { before, limit: limit.unwrap_or(100) }).await?;
    expect_reply!(reply, Reply::Audit(rows) => Out(Audit { rows: rows.into_iter().map(Into::into).collect() }))
}
