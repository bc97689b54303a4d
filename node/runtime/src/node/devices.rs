//! Commands about devices and their names.

use super::Acting;
use super::spaces::find_space;
use crate::driver::NAME_ROW;
use crate::service::{Device, ErrorCode, Reply, ServiceError, SpaceRef, Text};
use bytes::Bytes;
use cosmicsync_protocol::storage::{Op, Table};

/// Longest name of a device, in bytes.
const NAME_BYTES_MAX: usize = 64;

impl Acting<'_> {
    pub(super) async fn device_rename(&self, name: String) -> Result<Reply, ServiceError> {
        self.rename(name).await?;
        self.status().await
    }

    /// Renames the device, durably.
    pub(super) async fn rename(&self, name: String) -> Result<(), ServiceError> {
        check_name(&name)?;
        let handle = self.handle()?;
        let value = Bytes::from(name.clone());
        handle
            .later(|core, reply| {
                core.write(vec![Op::Put { table: Table::App, key: Bytes::from_static(NAME_ROW), value }], reply);
            })
            .await?;
        handle.with(|core| core.name = name).await
    }

    pub(super) async fn device_list(&self, space: SpaceRef) -> Result<Reply, ServiceError> {
        let devices = self.handle()?.with(move |core| {
            let endpoint = core.db.endpoint();
            let (me, links) = (endpoint.device(), endpoint.stats().links);
            let describe = |device| Device {
                device: Text(device),
                name: (device == me).then(|| core.name.clone()),
                this: device == me,
                connected: links.iter().any(|link| link.peer.is_some_and(|peer| peer.device == device)),
                seen_at: core.links.seen_at(&device),
            };
            Ok::<_, ServiceError>(find_space(core, &space)?.devices.into_iter().map(describe).collect())
        });
        Ok(Reply::Devices(devices.await??))
    }
}

/// Fails unless the text is a valid name of a device.
pub(super) fn check_name(name: &str) -> Result<(), ServiceError> {
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!("a name of a device has 1 to {NAME_BYTES_MAX} bytes and no control characters");
    Err(ServiceError::new(ErrorCode::Usage, message))
}
