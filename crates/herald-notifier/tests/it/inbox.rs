//! Reading inboxes page by page.

use herald_backplane::BackplaneOptions;
use herald_core::InboxLimits;
use herald_notifier::Options;
use herald_proto::api::{GapReason, ListNoticesRequest, SendNoticeRequest};

use crate::harness::{Herald, eventually, notice};

fn list(user: &str) -> ListNoticesRequest {
    ListNoticesRequest { user_id: user.into(), ..Default::default() }
}

#[tokio::test]
async fn pages_follow_each_other_without_loss_or_repetition() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    let mut sent = Vec::new();
    for n in 0..25 {
        sent.push(grpc.send_notice(notice("alice", n.to_string())).await.unwrap().into_inner());
    }
    let mut seen = Vec::new();
    let mut request = ListNoticesRequest { page_size: 10, ..list("alice") };
    let mut pages = 0;
    loop {
        let page = grpc.list_notices(request.clone()).await.unwrap().into_inner();
        assert!(page.complete && page.gap_reason() == GapReason::None, "{page:?}");
        pages += 1;
        seen.extend(page.notices);
        if page.next_page_token.is_empty() {
            assert_eq!(page.cursor, page.tip_cursor);
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(pages, 3);
    let ids: Vec<&str> = seen.iter().map(|notice| &*notice.id).collect();
    assert_eq!(ids, sent.iter().map(|sent| &*sent.notice_id).collect::<Vec<_>>());
    assert_eq!(seen[7].json, "7");
    assert_eq!(seen[7].event, "notice");
    assert!(seen[7].create_time.is_some() && seen[7].expire_time.is_none());

    // From the middle, by a notice's own cursor; then only what is new.
    let middle = ListNoticesRequest { cursor: seen[19].cursor.clone(), ..list("alice") };
    let page = grpc.list_notices(middle).await.unwrap().into_inner();
    assert_eq!(page.notices, seen[20..]);
    let after = ListNoticesRequest { cursor: page.cursor, ..list("alice") };
    let page = grpc.list_notices(after.clone()).await.unwrap().into_inner();
    assert!(page.notices.is_empty() && page.complete, "{page:?}");
    grpc.send_notice(notice("alice", "new")).await.unwrap_err();
    grpc.send_notice(notice("alice", "\"new\"")).await.unwrap();
    let page = grpc.list_notices(after).await.unwrap().into_inner();
    assert_eq!(page.notices.len(), 1);
}

#[tokio::test]
async fn a_notice_is_listed_until_its_ttl_is_over_and_the_cursor_goes_over_it() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    let ttl = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let long = SendNoticeRequest { ttl: ttl(3_600, 0), ..notice("alice", "1") };
    let long = grpc.send_notice(long).await.unwrap().into_inner();
    let body = r#"{"userId":"alice","data":2,"ttl":"0.25s"}"#;
    assert_eq!(herald.post("/v1/notices", body).await.status, 200);

    let page = eventually(async || {
        let page = grpc.clone().list_notices(list("alice")).await.unwrap().into_inner();
        (page.notices.len() == 1).then_some(page)
    })
    .await;
    assert_eq!(page.notices[0].id, long.notice_id);
    let (created, expires) = (page.notices[0].create_time.unwrap(), page.notices[0].expire_time);
    assert_eq!(expires.unwrap().seconds - created.seconds, 3_600);
    assert_eq!(expires.unwrap().nanos, created.nanos);
    assert!(page.complete && page.next_page_token.is_empty(), "{page:?}");
    assert_eq!(page.cursor, page.tip_cursor, "the expired one is passed");
    assert_ne!(page.cursor, page.notices[0].cursor);
    let json = herald.get("/v1/users/alice/notices").await.json();
    assert!(json["notices"][0]["expireTime"].as_str().unwrap().ends_with('Z'), "{json}");
}

#[tokio::test]
async fn a_page_token_is_bound_to_its_user_and_cursor() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    for n in 0..3 {
        grpc.send_notice(notice("alice", n.to_string())).await.unwrap();
    }
    let first = ListNoticesRequest { page_size: 1, ..list("alice") };
    let page = grpc.list_notices(first.clone()).await.unwrap().into_inner();
    let token = page.next_page_token;
    let foreign = ListNoticesRequest { page_token: token.clone(), ..list("bob") };
    let other = ListNoticesRequest { page_token: token, cursor: page.cursor, ..first };
    for request in [foreign, other] {
        let status = grpc.list_notices(request).await.unwrap_err();
        assert!(status.message().starts_with("page_token: "), "{status}");
    }
}

#[tokio::test]
async fn a_cursor_that_cannot_be_continued_is_answered_with_what_is_kept() {
    let inbox = InboxLimits { notices: 2, ..InboxLimits::default() };
    let backplane = BackplaneOptions { inbox, ..BackplaneOptions::default() };
    let herald = Herald::start_with(Options::default(), &backplane).await;
    let mut grpc = herald.notices().await;
    grpc.send_notice(notice("alice", "0")).await.unwrap();
    let old = grpc.list_notices(list("alice")).await.unwrap().into_inner().cursor;
    for n in 1..5 {
        grpc.send_notice(notice("alice", n.to_string())).await.unwrap();
    }
    let kept = |page: &herald_proto::api::ListNoticesResponse| {
        page.notices.iter().map(|notice| notice.json.clone()).collect::<Vec<_>>()
    };

    for (cursor, reason) in
        [(&*old, GapReason::Expired), ("nonsense", GapReason::Malformed), ("", GapReason::None)]
    {
        let request = ListNoticesRequest { cursor: cursor.into(), ..list("alice") };
        let page = grpc.list_notices(request).await.unwrap().into_inner();
        assert_eq!((page.gap_reason(), page.complete), (reason, reason == GapReason::None));
        assert_eq!(kept(&page), ["3", "4"]);

        // Nothing was removed after the floor, so reading from it is complete.
        let request = ListNoticesRequest { cursor: page.floor_cursor, ..list("alice") };
        let page = grpc.list_notices(request).await.unwrap().into_inner();
        assert_eq!((page.gap_reason(), kept(&page).len()), (GapReason::None, 2));
    }
}

#[tokio::test]
async fn an_inbox_that_was_never_used_is_empty_and_its_cursor_works_later() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    let page = grpc.list_notices(list("nobody")).await.unwrap().into_inner();
    assert!(page.notices.is_empty() && page.complete && page.next_page_token.is_empty());
    assert!(!page.cursor.is_empty());
    grpc.send_notice(notice("nobody", "1")).await.unwrap();
    let request = ListNoticesRequest { cursor: page.cursor, ..list("nobody") };
    let page = grpc.list_notices(request).await.unwrap().into_inner();
    assert_eq!(page.notices.len(), 1);
    assert!(page.complete, "nothing was missed: {:?}", page.gap_reason());
}

#[tokio::test]
async fn over_http_the_payload_is_data_as_it_was_sent() {
    let herald = Herald::start().await;
    let json = r#"{"b":1.50, "a":12345678901234567890}"#;
    herald.notices().await.send_notice(notice("a b", json)).await.unwrap();
    let answer = herald.get("/v1/users/a%20b/notices?pageSize=1").await;
    assert_eq!(answer.status, 200);
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.contains(&format!(r#""data":{json}"#)), "{text}");
    let page = answer.json();
    assert_eq!((&page["nextPageToken"], &page["complete"]), (&"".into(), &true.into()));
    let cursor = page["cursor"].as_str().unwrap();
    let next = herald.get(&format!("/v1/users/a%20b/notices?cursor={cursor}")).await.json();
    assert_eq!(next["notices"], serde_json::json!([]));
}
